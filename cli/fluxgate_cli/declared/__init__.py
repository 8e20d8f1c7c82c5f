"""A folder of YAML files as what an admin API shall have: ``dump``, ``diff``, ``apply``, ``validate``.

``folder``   what the files say, as documents
``present``  what the API has
``plan``     what has to be done to get from one to the other; pure
``applying`` doing it, batch by batch
``showing``  plans and outcomes for people and for programs
"""
