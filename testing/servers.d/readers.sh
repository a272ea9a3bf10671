# No server: a Python with libraries that read open formats and that nobody here wrote. Checks of exports run in it.

install() { venv=$(python_tools readers); }

start() { tell PYTHON "$venv/bin/python"; }

seed() { :; }
stop() { :; }
