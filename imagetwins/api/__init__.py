"""The calls for programs, `imagetwins.find_duplicates` and `imagetwins.compare`: what a run would decide, without Prefect.

Neither moves a file. Both decide by the code that the flow's stages call (`imagetwins/stages`), and so as a run would.
"""
