use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ProblemDetails;

/// Counts the requests that each principal has at work, bodies that are still sent included.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    most: usize,
    at_work: Arc<Mutex<HashMap<String, usize>>>,
}

/// A place at work; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Gate,
    principal: String,
}

impl Gate {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), at_work: Arc::default() }
    }

    /// Lets a request in, or tells its principal to come back.
    pub(super) fn enter(&self, principal: &str) -> Result<Pass, ProblemDetails> {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let count = at_work.entry(principal.to_owned()).or_default();
        if *count >= self.most {
            return Err(ProblemDetails::busy(1));
        }
        *count += 1;
        drop(at_work);
        Ok(Pass { gate: self.clone(), principal: principal.to_owned() })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut at_work = self.gate.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = at_work.get_mut(&self.principal) {
            *count -= 1;
            if *count == 0 {
                at_work.remove(&self.principal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_principal_has_its_own_places_and_gets_them_back() {
        let gate = Gate::new(2);
        let (first, _second) = (gate.enter("a").unwrap(), gate.enter("a").unwrap());
        let refused = gate.enter("a").unwrap_err();
        assert_eq!((refused.status, refused.retry_after), (429, Some(1)));
        drop(gate.enter("b").unwrap());
        drop(first);
        drop(gate.enter("a").unwrap());
        assert_eq!(gate.at_work.lock().unwrap().len(), 1);
    }
}
