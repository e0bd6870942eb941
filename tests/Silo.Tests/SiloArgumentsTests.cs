namespace Fleet.Silo.Tests;

[Trait("tier", "fast")]
public sealed class SiloArgumentsTests
{
    [Fact]
    public void Names_and_ports_are_taken()
    {
        Assert.True(SiloArguments.TryParse(
            [
                "--cluster", "a", "--store", "s", "--name", "n", "--silo-port", "11", "--gateway-port", "12",
                "--child", "yes",
            ],
            out var arguments, out _));
        Assert.Equal(new SiloArguments("a", "s", "n", 11, 12, true), arguments);
    }

    [Fact]
    public void Ports_are_free_ones_and_the_name_the_first_unless_told()
    {
        Assert.True(SiloArguments.TryParse(["--cluster", "a"], out var arguments, out _));
        Assert.Equal(new SiloArguments("a", null, "silo-1", 0, 0, false), arguments);
    }

    [Theory]
    [InlineData("--cluster is missing")]
    [InlineData("--cluster needs a value", "--cluster")]
    [InlineData("There is no option --colour", "--colour", "red")]
    [InlineData("--silo-port is a port from 1 to 65535", "--silo-port", "0")]
    public void What_is_wrong_is_said_in_one_sentence(string said, params string[] args)
    {
        Assert.False(SiloArguments.TryParse(args, out _, out var wrong));
        Assert.StartsWith(said, wrong);
    }
}
