using Fleet.Kernel.Block;
using Fleet.Kernel.Drivers;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.Tests.Drivers;

/// <summary>Whole cycles of bind and unbind of every driver under every profile, nobody else about.</summary>
[Trait("tier", "fast")]
public sealed class DriverCycleTests
{
    public static TheoryData<string, string> DriversAndProfiles()
    {
        var rows = new TheoryData<string, string>();
        foreach (var profile in KernelProfile.All)
        {
            foreach (var driver in new[] { "dax", "fsdax", "raw", "hmm", "hmm resource", "dax fake", "fsdax fake" })
            {
                rows.Add(driver, profile.Name);
            }
        }

        return rows;
    }

    // Goal: a driver leaves nothing behind, and can be bound again, under every kernel in which its unbind ends.
    // Method: three cycles on the same objects; what is left is compared with nothing at all.
    [Theory]
    [MemberData(nameof(DriversAndProfiles))]
    public void Three_cycles_leave_nothing_behind(string driver, string profile)
    {
        var world = World(profile);
        var state = Make(world, driver);

        // The drain of del_gendisk waits for page references that only a later step drops.
        var hangs = driver == "fsdax" && profile == "L515b";
        for (var cycle = 0; cycle < 3 && !hangs; cycle++)
        {
            Assert.Equal(Errno.OK, world.Bind(state));
            Assert.True(world.Device.IsBound);
            world.Unbind();
            world.Settle();
            AssertQuiescent(world, state);
        }

        if (hangs)
        {
            Assert.Equal(Errno.OK, world.Bind(state));
            Assert.Equal(Step.QueueWait, Assert.Throws<HungException>(world.Unbind).Step);
        }
    }

    internal static SequentialWorld World(string profile)
    {
        Assert.True(KernelProfile.TryParse(profile, out var found));
        return new SequentialWorld(found);
    }

    internal static DriverState Make(SequentialWorld world, string driver) => driver switch
    {
        "dax" => new DevDax(world.Iomem, 0, 1),
        "dax fake" => new DevDax(world.Iomem, 0, 1, isFakeNfit: true),
        "fsdax" => new PmemDevice(world.Iomem, PmemMode.Fsdax, 0, 1),
        "fsdax fake" => new PmemDevice(world.Iomem, PmemMode.Fsdax, 0, 1, isFakeNfit: true),
        "raw" => new PmemDevice(world.Iomem, PmemMode.Raw, 0, 1),
        "hmm" => new HmmDevmem(world.Iomem, HmmSource.FreeRange, 16, 1) { SectionPages = 4 },
        _ => new HmmDevmem(world.Iomem, HmmSource.Resource, 0, 1) { SectionPages = 4 },
    };

    internal static void AssertQuiescent(SequentialWorld world, DriverState state)
    {
        Assert.False(world.Device.IsBound);
        Assert.False(world.Device.IsLocked);
        Assert.True(world.Device.Devres.IsEmpty);
        Assert.True(world.Iomem.IsFree(0, 64));
        Assert.Equal(0, world.Rcu.PendingCallbacks);
        foreach (var part in state.Parts)
        {
            switch (part)
            {
                case RefObject reference:
                    Assert.False(reference.Count?.HasPercpuMemory ?? false);
                    break;
                case DevPagemap map:
                    Assert.False(map.IsStored);
                    Assert.False(map.IsPresent);
                    break;
                case LinearMapping mapping:
                    Assert.False(mapping.IsMapped);
                    break;
                case RequestQueue queue:
                    Assert.True(queue.IsFreed);
                    break;
                default:
                    break;
            }
        }

        Assert.Empty(world.Warnings);
    }
}
