"""Starts, watches and stops the processes that are Carryon: `python -m config.supervisor`.

One supervisor owns one DATA_DIR, which it locks, and one listening socket, which it binds itself and lends to the
web process: a web process that dies never loses the port, and clients wait in the socket's backlog until the next
one answers. Every child runs in a session of its own, so Ctrl-C in a terminal reaches the supervisor alone and all
children are told to end in order. What dies is started again after a pause that grows while it keeps dying.

Nothing outlives the supervisor. On Linux the kernel kills its children with it (`tether`); elsewhere the next start
ends whatever the pid files in DATA_DIR/run still name, once it is proved to be the very process that was started.
"""
