-- Of fleets whose jobs are in Postgres. Names as in source 002.
CREATE TABLE IF NOT EXISTS worker_heartbeats (
    worker_id text PRIMARY KEY,
    last_heartbeat_at timestamptz NOT NULL
);

CREATE TABLE IF NOT EXISTS executions (
    execution_id text COLLATE "C" PRIMARY KEY,
    status text NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'failed', 'dead_letter')),
    worker_id text,
    -- Of the attempt itself, where jobs have beats of their own.
    heartbeat_at timestamptz,
    execution_error text,
    -- The job as it was enqueued.
    spec text NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    -- How often it was taken from its worker.
    stalls int NOT NULL DEFAULT 0,
    run_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS executions_due ON executions (run_at, execution_id) WHERE status = 'queued';
CREATE INDEX IF NOT EXISTS executions_running ON executions (worker_id) WHERE status = 'running';
