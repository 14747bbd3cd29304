"""The monitor in a real browser. A package, so that one browser lasts for all of it and no longer."""
