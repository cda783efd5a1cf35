"""The IPFS task backend: the state of uploads and downloads that desktop clients carry out."""
