//! What leaves a pipeline aside: records that a step could not go on with, say.
//!
//! ```text
//!  records ─► parse ─► divide ─► records that could be parsed
//!                        └─────► side output ◄─ divide of other steps
//! ```

use std::rc::Rc;

use thalweg_dataflow::{Code, Error};

use crate::columns::{Layout, Record};
use crate::open::Open;
use crate::plan::{Place, SharedPlan, Work};
use crate::segment::head::read_item;
use crate::stream::Stream;

/// A stream of its own, which any steps of an application give to, by [`Stream::divide`].
///
/// ```
/// use thalweg_app::driver::{frames, kept};
/// use thalweg_app::{Application, Driver, decode};
///
/// let application = Application::new("numbers");
/// let wrong = application.side_output("wrong");
/// application
///     .source("lines", frames(), decode::utf8())
///     .map(|line: String| line.parse::<i64>().map_err(|why| format!("{line}: {why}")))
///     .divide(&wrong)
///     .sink("out", kept(), |number, line| line.extend(format!("{number}\n").bytes()));
/// wrong.stream().sink("letters", kept(), |letter: &String, line| line.extend(letter.bytes()));
///
/// let mut driver = Driver::new(application).map_err(|errors| errors[0].clone())?;
/// ["7", "x"].iter().try_for_each(|line| driver.frame("lines", line))?;
/// assert_eq!(driver.text("out"), "7\n");
/// assert_eq!(driver.text("letters"), "x: invalid digit found in string");
/// # Ok::<(), thalweg_dataflow::Error>(())
/// ```
///
/// What leaves has the event time of the record that it is made of; before `with_event_time` it has that of the
/// watermark. It is written down where it leaves, and is promised what is promised of all records.
pub struct SideOutput<L> {
    plan: SharedPlan,
    name: Rc<str>,
    pub(crate) node: usize,
    pub(crate) layout: Layout<L>,
}

impl<L> Clone for SideOutput<L> {
    fn clone(&self) -> Self {
        let (plan, name, layout) = (Rc::clone(&self.plan), Rc::clone(&self.name), self.layout.clone());
        Self { plan, name, node: self.node, layout }
    }
}

impl<L: Record> SideOutput<L> {
    pub(crate) fn new(plan: &SharedPlan, name: &str) -> Self {
        let node = plan.borrow_mut().add_named(name, Self::ROLE, Work::Aside, Vec::new());
        Self { plan: Rc::clone(plan), name: name.into(), node, layout: Layout::find() }
    }

    /// What such a node is called.
    pub(crate) const ROLE: &str = "side output";

    /// All that leaves for this output, in the order in which it comes. Each call gives all of it.
    pub fn stream(&self) -> Stream<L> {
        let places = vec![Place::of(self.node)];
        let open = Open::records(places.clone(), read_item(self.layout.clone(), 0), self.name.to_string());
        Stream::new(Rc::clone(&self.plan), Open { bare: Some(places), ..open })
    }

    /// Whether it is one of this application, which is told if not.
    pub(crate) fn is_of(&self, plan: &SharedPlan) -> bool {
        let is = Rc::ptr_eq(&self.plan, plan);
        if !is {
            let what = "a side output is of another application";
            plan.borrow_mut().errors.push(Error::new(Code::InvalidProgram, what));
        }
        is
    }
}
