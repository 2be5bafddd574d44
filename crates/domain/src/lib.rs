//! Words and rules of Countersign, without IO
