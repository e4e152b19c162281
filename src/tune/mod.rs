//! `tune`: which settings hold what is asked of them under what has to be borne, and what each costs.
//!
//! [`space`] is what may move, [`figures`] what one setting gives, in closed form, [`point`] what of that which
//! is asked it holds; [`front`] those than which none is better in everything; [`choice`] those of them that are
//! named, [`answer`] all of it, and what stands in the way where there is none. [`simulated`] tries what is shown, [`rare`] estimates mistakes that no
//! simulation meets; [`proof`] has it tried on real stores and processes, and [`trace`] reads what recorded runs
//! say of what has to be borne. [`ledger`] is told what is simulated, so that a long search can be taken up again.
//!
//! **Invariant**: the same question gives the same answer. No I/O, no clock.

pub mod answer;
pub mod choice;
pub mod figures;
pub mod front;
pub mod ledger;
pub mod point;
pub mod proof;
pub mod rare;
pub mod sensitivity;
pub mod simulated;
pub mod space;
pub mod trace;
pub mod yardstick;

pub use answer::{Answer, Means, Sampled, Shortfall, answer, answer_with};
pub use point::{Asked, Constraint, Point};
pub use trace::Trace;
pub use yardstick::Yardstick;
