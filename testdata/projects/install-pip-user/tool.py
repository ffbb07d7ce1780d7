import click


@click.command()
@click.option("--name", default="world")
def hello(name: str) -> None:
    click.echo(f"hello, {name}")


hello()
