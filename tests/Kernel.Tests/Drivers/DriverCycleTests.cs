using Fleet.Kernel.Block;
using Fleet.Kernel.Drivers;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
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

    public static TheoryData<string, int> P2pProfiles()
    {
        var rows = new TheoryData<string, int>();
        foreach (var profile in KernelProfile.All)
        {
            for (var resources = 1; resources <= 3; resources++)
            {
                rows.Add(profile.Name, resources);
            }
        }

        return rows;
    }

    // Goal: the same for peer-to-peer memory, with the ends that the model foresees: V1 dies in its first unbind, X6-5
    // waits for itself when there are two resources, X6c maps nothing and waits for a ref that nobody kills.
    // Method: memory is taken from every resource and given back in each cycle.
    [Theory]
    [MemberData(nameof(P2pProfiles))]
    public void P2pdma_cycles_end_as_foreseen(string profile, int resources)
    {
        var world = World(profile);
        var bars = Enumerable.Range(0, resources).Select(i => new PciBar(i, true, (ulong)i << 14, 4096)).ToArray();
        var (error, end) = (profile, resources) switch
        {
            ("V1", _) => (Errno.OK, typeof(KernelOopsException)),
            ("X6-5", > 1) => (Errno.OK, typeof(HungException)),
            ("X6c", _) => (Errno.EINVAL, typeof(HungException)),
            _ => (Errno.OK, null),
        };
        for (var cycle = 0; cycle < (end is null ? 3 : 1); cycle++)
        {
            Assert.Equal(error, world.BindP2p(bars));
            var held = bars.Select(_ => world.Run(P2pdmaProcedures.Alloc(world.Host, world.Device, 4096))).ToArray();
            Assert.All(held, one => Assert.Equal(error is Errno.OK, one.Succeeded));
            foreach (var one in held.Where(one => one.Succeeded))
            {
                world.Run(P2pdmaProcedures.Free(world.Host, world.Device, one.Allocation));
            }

            Assert.Equal(end, Record.Exception(world.Unbind)?.GetType());
            world.Settle();
        }

        if (end is null)
        {
            Assert.Null(world.Device.Field);
            Assert.True(world.Device.Devres.IsEmpty);
            Assert.True(world.Objects.Latest!.IsFreed);
            Assert.Equal(0, world.Rcu.PendingCallbacks);
            Assert.Empty(world.Warnings);
            Assert.All(world.Objects.Pagemaps, resource =>
            {
                Assert.True(resource.IsFreed);
                Assert.False(resource.Map.IsStored || resource.Map.IsPresent);
                Assert.False(resource.Map.Ref!.Count!.HasPercpuMemory);
            });
        }
    }

    // Goal: kernel-model B.1, consequence 2: what was added during a release is met by the next probe.
    [Fact]
    public void A_probe_of_a_device_that_has_resources_already_is_warned_about()
    {
        var world = World("ALL");
        world.Device.Devres.Kmalloc(new DriverMemory());
        Assert.Equal(Errno.OK, world.Bind(Make(world, "dax")));
        Assert.Equal(["devres-not-empty"], world.Warnings);
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
