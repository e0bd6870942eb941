using Fleet.Protocol.Machines;

namespace Fleet.Protocol.Tests.Machines;

/// <summary>Who is in whose way on one machine.</summary>
[Trait("tier", "fast")]
public sealed class PgmapArrayAgentTests
{
    private const ulong Section = 32_768;

    private readonly PgmapArrayAgent _array = new();

    // Source: kernel-model B.5 step 3: only the page frames at the aligned ends are looked up.
    [Fact]
    public void Only_a_map_at_an_end_of_the_section_is_in_the_way()
    {
        _array.Store(new("map:h/a/bar0", Section, 16));
        Assert.Equal("map:h/a/bar0", _array.Conflict(new("map:h/b/bar0", Section + 16, 16)));
        Assert.Null(_array.Conflict(new("map:h/b/bar0", 2 * Section, 16)));

        _array.Erase("map:h/a/bar0");
        _array.Store(new("map:h/b/bar0", Section + 16, 16));
        Assert.Null(_array.Conflict(new("map:h/a/bar0", Section, 16)));
    }

    [Fact]
    public void A_dying_map_is_in_nobodys_way_and_a_new_life_is_again()
    {
        var range = new MapRange("map:h/a/bar0", Section, 16);
        _array.Store(range);
        _array.Kill(range.Map);
        Assert.Null(_array.Conflict(new("map:h/b/bar0", Section + 16, 16)));
        _array.Erase(range.Map);
        Assert.Equal(0, _array.Count);
        _array.Store(range);
        Assert.Equal(range.Map, _array.Conflict(new("map:h/b/bar0", Section + 16, 16)));
    }
}
