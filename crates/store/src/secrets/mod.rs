//! Sealed credentials. Refuses to open one: it hands out blobs to whoever holds the key.
