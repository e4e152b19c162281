-- Idempotent; the lock keeps two callers from creating a table at the same time.
SELECT pg_advisory_xact_lock(7376717);

CREATE TABLE IF NOT EXISTS jobs (
    id text PRIMARY KEY,
    status text NOT NULL CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
    error text,
    attempts int NOT NULL DEFAULT 0,
    last_attempt timestamptz,
    updated timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS segments (
    job text NOT NULL,
    step int NOT NULL,
    worker text NOT NULL,
    saved timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job, step)
);

-- One row an execution: a job that was done twice has two.
CREATE TABLE IF NOT EXISTS effects (
    job text NOT NULL,
    worker text NOT NULL,
    attempt int NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS effects_job ON effects (job);
