//! From bytes at the edge to rows in the log: formats, admission, dead letters.
