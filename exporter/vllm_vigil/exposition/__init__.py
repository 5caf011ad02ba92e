"""Answer Prometheus and people, from memory: `site.py` holds the routes, `http.py` the server under them."""
