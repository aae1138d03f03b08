"""What flows and stages share: run context, approval, cluster, progress, Prefect's server; the only room below `flows` that knows Prefect."""
