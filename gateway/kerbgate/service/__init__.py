"""What makes a program a service: a unit, signs of life, metrics, health, a log. SERVICE.md is its page."""
