//! The durable store: points in time on any object store, in standard parts.
