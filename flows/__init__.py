"""The story, one file a flow: the stages, called in order. Which machine and how; never what is decided."""
