"""The demo: four stories of one flag on real traffic, with the real monitor watching. See `docs/demo.md`."""
