"""From a file's bytes to a thumbnail, in processes that may crash without harm.

`formats` says what is a picture, `decoder` makes a thumbnail of one, `program` is the process that calls it, and `pool` runs
such processes. `headers` reads what a picture says of itself, with `jpeg`, `jxl` and `raw` for those formats; `pixels` makes of
stored pixels what they show. `model` holds what they share. This file imports nothing: every decoder process loads it.
"""
