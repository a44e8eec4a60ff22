"""A lamp node: it shines, talks and keeps all the while."""
