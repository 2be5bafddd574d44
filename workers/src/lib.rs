//! Who does the work: lanes, layers, providers wired to ports, drain
