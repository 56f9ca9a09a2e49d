"""The console: pages for those who lose money when systems disagree. Server-rendered; works without scripts too."""
