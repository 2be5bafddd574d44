//! PostgreSQL and Valkey as private, supervised child processes
