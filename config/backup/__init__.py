"""Backups: a folder that has the database and the files of one moment, made while the service runs.

Three steps, in this order, and the order is what makes it consistent:

1. **What is unfinished**: uploads with the parts that were acknowledged, part files with their journals. Taken before
   the database, they are never newer than it: an upload that is completed a moment later is completed in the database
   too, and its file is among the files.
2. **The database**, as of one moment.
3. **Finished files.** They have their names before a row names them, and are never written to afterwards: only removed,
   or replaced as a whole. So every file that a row of step 2 names is there in step 3, unless it was deleted meanwhile.
   The other way round, files that came between the steps would be rows without files.

A journal is read before the bytes it vouches for. Part files are bound to their inode, so a restored journal is bound
anew (`transfers.engine.local.journal.rebind`).
"""
