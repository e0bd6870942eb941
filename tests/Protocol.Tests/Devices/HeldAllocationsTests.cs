using CsCheck;
using Fleet.Protocol.Devices;

namespace Fleet.Protocol.Tests.Devices;

[Trait("tier", "fast")]
public sealed class HeldAllocationsTests
{
    // Goal: growing, emptying and closing the hole of a removal never lose one, find one that is gone, or stop early.
    // Method: numbers are given in order as a device does it, and taken in any; a dictionary runs beside.
    [Fact]
    public void What_is_held_is_what_a_dictionary_says() =>
        Gen.Select(Gen.Int[0, 99], Gen.Int[0, 1_000]).Array[0, 400].Sample(
            steps =>
            {
                var held = new HeldAllocations<string>();
                var model = new Dictionary<long, string>();
                var last = 0L;
                foreach (var (choice, which) in steps)
                {
                    // Mostly one for the other; at times many are added, at times nearly all are taken.
                    if (choice < 50 + (last / 40 % 2 * 25))
                    {
                        last += which % 5 == 0 ? 7 : 1;
                        held.Add(last, $"{last}");
                        model.Add(last, $"{last}");
                    }
                    else
                    {
                        var number = which % 4 == 0 || model.Count == 0 ? which - 3
                            : model.Keys.ElementAt(which % model.Count);
                        Assert.Equal(model.Remove(number, out var expected), held.Remove(number, out var removed));
                        Assert.Equal(expected, removed);
                        Assert.False(held.TryGet(number, out _));
                    }

                    Assert.Equal(model.Count, held.Count);
                    Assert.Equal(
                        model.OrderBy(pair => pair.Key).Select(pair => (pair.Key, pair.Value)), held.InOrder());
                    foreach (var (number, value) in model)
                    {
                        Assert.True(held.TryGet(number, out var found));
                        Assert.Equal(value, found);
                    }
                }
            },
            iter: 300);
}
