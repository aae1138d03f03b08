"""What people look at: answers about past runs, the HTML pages, the gallery."""
