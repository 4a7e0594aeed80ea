//! One job kept alive.
