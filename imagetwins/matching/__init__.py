"""From scores to decisions: duplicates, verification, reuse of earlier pairs, approval, estimates."""
