using Fleet.Kernel.Host;

namespace Fleet.Kernel.Tests;

[Trait("tier", "fast")]
public sealed class ReachedObjectsTests
{
    [Fact]
    public void What_was_added_is_there_until_it_is_cleared()
    {
        var reached = new ReachedObjects();
        object[] objects = [new(), "text", new byte[1], new long[1000]];
        foreach (var one in objects)
        {
            reached.Add(one);
        }

        reached.Add(null);
        Assert.Equal(objects.Length, reached.Count);
        Assert.All(objects, one => Assert.True(reached.Contains(one)));
        reached.Fetch();
        reached.Clear();
        Assert.Equal(0, reached.Count);
        Assert.All(objects, one => Assert.False(reached.Contains(one)));
        reached.Fetch();
    }

    [Fact]
    public void What_does_not_fit_is_left_out()
    {
        var reached = new ReachedObjects();
        var objects = Enumerable.Range(0, ReachedObjects.Max + 5).Select(_ => new object()).ToArray();
        foreach (var one in objects)
        {
            reached.Add(one);
        }

        Assert.Equal(ReachedObjects.Max, reached.Count);
        Assert.True(reached.Contains(objects[ReachedObjects.Max - 1]));
        Assert.False(reached.Contains(objects[ReachedObjects.Max]));
    }

    // Goal: the collector moves and drops objects while their addresses are taken; nothing is read or written there.
    // Method: objects of all sizes up to those that are never moved are fetched and replaced between compacting
    // collections; each keeps its contents.
    [Fact]
    public void Objects_that_the_collector_moves_keep_their_contents()
    {
        var reached = new ReachedObjects();
        var kept = new List<byte[]>();
        for (var round = 0; round < 40; round++)
        {
            reached.Clear();
            kept.Clear();
            for (var i = 0; i < ReachedObjects.Max; i++)
            {
                var bytes = new byte[i == 0 ? 0 : 1 << (i % 18)];
                bytes.AsSpan().Fill((byte)(round + i));
                kept.Add(bytes);
                reached.Add(bytes);
            }

            for (var turn = 0; turn < 1000; turn++)
            {
                reached.Fetch();
            }

            GC.Collect(round % 3, GCCollectionMode.Forced, blocking: true, compacting: true);
            reached.Fetch();
            for (var i = 0; i < kept.Count; i++)
            {
                Assert.True(reached.Contains(kept[i]));
                Assert.All(kept[i].Take(64), one => Assert.Equal((byte)(round + i), one));
            }
        }
    }
}
