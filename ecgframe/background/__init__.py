"""Work that would hold up an event loop: the threads that do it, and the order in which its results go on."""
