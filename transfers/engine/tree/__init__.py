"""Folders of files as something to compare and to bring into line: on a disk, in a store, in memory."""
