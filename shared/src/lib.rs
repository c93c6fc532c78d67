//! The ZenTalk protocol: formats, cryptography and the client engine as pure state machines.
