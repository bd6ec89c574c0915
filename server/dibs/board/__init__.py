"""The board: the web page on which people see and steer a backlog.

Pages are rendered on the server from one snapshot of the database, and work without a script by reloading. Each page is
a `Page` (page.py): its path, its template, the function that reads what the template shows, and the names of the
template's blocks that change live. A live block renders one element with `data-live` and an id of its own, or nothing.
The server sends it again when it has changed (live.py), and the script puts it in place by its id. Forms post to
`/do/<action>` (actions.py).
"""
