using Fleet.Client.Scenarios;

namespace Fleet.Client.Tests.Scenarios;

[Trait("tier", "fast")]
public sealed class QuantityTests
{
    [Theory]
    [InlineData("250ms", 250)]
    [InlineData("10s", 10_000)]
    [InlineData("1.5s", 1_500)]
    [InlineData("2h", 7_200_000)]
    [InlineData("5m", 300_000)]
    [InlineData("1d", 86_400_000)]
    [InlineData("1500us", 1.5)]
    public void Durations_are_read(string text, double milliseconds)
    {
        Assert.True(Quantity.TryParseDuration(text, out var duration));
        Assert.Equal(milliseconds, duration.TotalMilliseconds);
    }

    [Theory]
    [InlineData("")]
    [InlineData("s")]
    [InlineData("10")]
    [InlineData("-1s")]
    [InlineData("1 s")]
    [InlineData("1e3s")]
    [InlineData("366d")]
    [InlineData("99999999999999999999d")]
    [InlineData("1.s")]
    public void What_is_no_duration_is_refused(string text) => Assert.False(Quantity.TryParseDuration(text, out _));

    [Theory]
    [InlineData("4096B", 4096)]
    [InlineData("4KiB", 4096)]
    [InlineData("1MiB", 1 << 20)]
    [InlineData("0.5KiB", 512)]
    public void Sizes_are_read(string text, long bytes)
    {
        Assert.True(Quantity.TryParseSize(text, out var size));
        Assert.Equal(bytes, size);
    }

    [Theory]
    [InlineData("4KB")]
    [InlineData("0.3B")]
    [InlineData("99999TiB")]
    [InlineData("KiB")]
    public void What_is_no_size_is_refused(string text) => Assert.False(Quantity.TryParseSize(text, out _));
}
