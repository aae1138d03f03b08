"""How the flows are registered with a Prefect server: when they run, and with which parameters; and the worker that runs them."""
