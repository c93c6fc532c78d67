//! The relay: a core without IO and a thin daemon around it.
