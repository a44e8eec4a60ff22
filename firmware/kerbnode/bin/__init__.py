"""A bin node: it wakes, samples, judges, keeps, reports and sleeps."""
