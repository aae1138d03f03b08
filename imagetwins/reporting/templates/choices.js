// -- choosing which pictures stay, and which go ----------------------------------------------------------------------
