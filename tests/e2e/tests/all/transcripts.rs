//! What a technician sees.
