//! Tenant data: all SQL outside the engine, in transactions opened for somebody
