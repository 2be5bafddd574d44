//! The door: authenticate, authorise, validate, enqueue, answer
