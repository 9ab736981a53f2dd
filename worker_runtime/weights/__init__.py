"""Weights that arrive once: many workers, one volume, no flock. docs/weights.md has the whole picture.

store      where all lies, and the READY marker
lease      who fetches: one leader per store, epochs by O_EXCL
heartbeat  who is alive, without comparing two hosts' clocks
usage      which running worker reads which model
journal    which ranges have arrived
arriving   one file on its way: ranges written, hashed as they come
hub        addresses and refusals of the Hub (the only huggingface_hub)
wire       HTTP straight into a buffer
work       which connection fetches what next
transfer   the connections, their retries and their time limit
seal       fsync beside the transfer
space      what fits, and what may be removed
"""
