//! Functions of a user's program, known by name.
//!
//! A closure cannot travel, so a spec holds its [`FunctionId`]. Every process
//! of a job makes the same [`Functions`] by running the program's own set-up,
//! and looks the closure up when an operator is built.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The name of a function within its application: where it stands, by names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FunctionId(pub String);

impl fmt::Display for FunctionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All functions of an application. A value, never a static.
///
/// ```
/// use thalweg_dataflow::function::{FunctionId, Functions};
///
/// let double = FunctionId("app/double".into());
/// let mut functions = Functions::default();
/// functions.add(double.clone(), (|x| 2 * x) as fn(i64) -> i64);
/// assert_eq!(functions.get::<fn(i64) -> i64>(&double)?(21), 42);
/// # Ok::<(), thalweg_dataflow::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Functions {
    by_id: BTreeMap<FunctionId, Arc<dyn Any + Send + Sync>>,
}

impl Functions {
    /// Makes a function known.
    ///
    /// # Panics
    /// If the name is taken: two functions under one name is a bug of whoever names them.
    pub fn add<F: Any + Send + Sync>(&mut self, id: FunctionId, function: F) {
        let text = id.to_string();
        let taken = self.by_id.insert(id, Arc::new(function));
        assert!(taken.is_none(), "function '{text}' is added twice");
    }

    /// Makes all functions of others known.
    ///
    /// # Panics
    /// If one of their names is taken.
    pub fn add_all(&mut self, others: Functions) {
        for (id, function) in others.by_id {
            let text = id.to_string();
            let taken = self.by_id.insert(id, function);
            assert!(taken.is_none(), "function '{text}' is added twice");
        }
    }

    /// The function of this name and type.
    ///
    /// # Errors
    /// If there is none: this process runs another program than the one that wrote the graph.
    pub fn get<F: Any + Send + Sync>(&self, id: &FunctionId) -> Result<Arc<F>> {
        let missing = |what: &str| Err(Error::internal(format!("function '{id}' {what} in this process")));
        match self.by_id.get(id).cloned().map(Arc::downcast::<F>) {
            Some(Ok(function)) => Ok(function),
            Some(Err(_)) => missing("has another type"),
            None => missing("does not exist"),
        }
    }

    /// The names of all functions: what two processes compare before they share a job.
    pub fn ids(&self) -> impl Iterator<Item = &FunctionId> {
        self.by_id.keys()
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.ids()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_by_name_and_type_only() {
        let id = FunctionId("a".into());
        let mut functions = Functions::default();
        functions.add(id.clone(), 7_u8);
        assert_eq!(functions.get::<u8>(&id).ok().as_deref(), Some(&7));
        assert!(functions.get::<i64>(&id).is_err());
        assert!(functions.get::<u8>(&FunctionId("b".into())).is_err());
    }
}
