//! The queue engine: ledger, dispatch, leases, limits, apalis backend
