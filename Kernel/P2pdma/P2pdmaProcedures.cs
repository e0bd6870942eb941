using System.Runtime.CompilerServices;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.P2pdma;

/// <summary>
/// drivers/pci/p2pdma.c: set-up, add_resource, alloc, free and the release, in each order that a kernel had.
/// </summary>
/// <remarks>Source: kernel-model B.8, C.3 to C.7, C.10, H.2, I (3); scenarios.md section 1 (UnpublishFirst).</remarks>
public static class P2pdmaProcedures
{
    /// <summary>Offers a BAR, or a part of it, as peer-to-peer memory.</summary>
    /// <param name="bar">The BAR as the device has it.</param>
    /// <param name="sizeBytes">Bytes; 0 for everything from <paramref name="offsetBytes"/> on.</param>
    /// <param name="offsetBytes">Bytes from the start of the BAR.</param>
    /// <param name="index">Position of the resource in the driver's list, from 0.</param>
    /// <returns>
    /// <see cref="Errno.EINVAL"/> for an I/O BAR, an empty one or a range beyond it; <see cref="Errno.ENOMEM"/>,
    /// <see cref="Errno.ENXIO"/> and whatever set-up or memremap gave. Set-up stays even if a later step fails.
    /// </returns>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<Errno> AddResource<THost>(
        THost host, PciDevice device, P2pdmaObjects objects, PciBar bar, ulong sizeBytes, ulong offsetBytes, int index)
        where THost : struct, IKernelHost<THost>
    {
        host.Emit(Resource(EventKind.AddResourceBegin, bar, sizeBytes, offsetBytes, Errno.OK, null));
        var error = Validate(bar, ref sizeBytes, offsetBytes);
        P2pPagemap? added = null;
        if (error is Errno.OK && device.Field is null)
        {
            error = await Setup(host, device, objects);
        }

        if (error is Errno.OK)
        {
            added = objects.Pagemap(index, bar, bar.StartAddress + offsetBytes, sizeBytes);
            error = await Map(host, device, added);
        }

        host.Emit(Resource(EventKind.AddResourceEnd, bar, sizeBytes, offsetBytes, error, added));
        return error;
    }

    /// <summary>
    /// pci_alloc_p2pmem: takes memory from the newest chunk that has room, and a reference on its owner.
    /// </summary>
    /// <param name="sizeBytes">Bytes, at least 1; rounded up to pages.</param>
    public static ValueTask<P2pAllocResult> Alloc<THost>(THost host, PciDevice device, ulong sizeBytes)
        where THost : struct, IKernelHost<THost> =>
        host.Profile.Has(KernelSwitch.AllocUsesRcu)
            ? AllocUnderRcu(host, device, sizeBytes)
            : AllocBare(host, device, sizeBytes);

    /// <summary>pci_free_p2pmem: gives the memory back to the pool first, then the reference.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<Errno> Free<THost>(THost host, PciDevice device, P2pAllocation allocation)
        where THost : struct, IKernelHost<THost>
    {
        P2pPool? pool;
        RefObject? shared = null;
        if (host.Profile.Has(KernelSwitch.UnpublishFirst))
        {
            // Holders still free while the field is NULL: the allocation remembers its pool.
            await host.Point(Step.FieldUse, 0, 0);
            pool = allocation.Pool;
        }
        else
        {
            await host.Point(Step.FieldUse, device.Mask | FieldTargetMask<THost>(device), 0);
            TellRead(host, device, "use");
            var p2pdma = device.Field;
            await Live(host, p2pdma, "pci_free_p2pmem reads the p2pdma field");
            pool = p2pdma!.Pool;
            shared = p2pdma.SharedRef;
        }

        await Live(host, pool, "gen_pool_free_owner reaches the pool");
        var freed = await FreeSteps(host, pool!, allocation.Address, allocation.SizeBytes);
        if (freed.Fault is not GenPoolFault.None)
        {
            host.Emit(new KernelEvent(EventKind.Bug, null, pool) { Text = "bad-free", Fn = "gen_pool_free_owner" });
            await host.Die(OopsKind.Bug, pool, "gen_pool_free_owner meets memory that is not allocated");
        }

        pool!.Live--;
        var owner = host.Profile.Has(KernelSwitch.RefPerResource) ? (RefObject?)freed.Owner : shared;
        await host.RefPut(owner!, 1);
        return Errno.OK;
    }

    /// <summary>The oldest action of a bound device: ends what set-up began.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask Release<THost>(THost host, PciDevice device, PciP2pdma registered)
        where THost : struct, IKernelHost<THost>
    {
        if (host.Profile.Has(KernelSwitch.UnpublishFirst))
        {
            await ReleaseUnpublished(host, device, registered);
            return;
        }

        var p2pdma = device.Field;
        if (p2pdma is null)
        {
            return;
        }

        if (!host.Profile.Has(KernelSwitch.AllocUsesRcu))
        {
            await host.RefWaitReaped(p2pdma.SharedRef!);
            await host.RefExit(p2pdma.SharedRef!);
            await DestroyPool(host, p2pdma.Pool!);
            await RemoveSysfs(host, device);
            await ClearField(host, device);
            return;
        }

        await ClearField(host, device);
        await host.Synchronize();
        if (!host.Profile.Has(KernelSwitch.ReleaseUsesLocalCopy))
        {
            // The first version of the series reads the pool through the field that it has just cleared.
            await host.Point(Step.FieldUse, device.Mask, 0);
            TellRead(host, device, "use");
            await Live(host, device.Field, "pci_p2pdma_release reads the pool through the cleared p2pdma field");
            p2pdma = device.Field!;
        }

        await DestroyPool(host, p2pdma.Pool!);
        await RemoveSysfs(host, device);
    }

    /// <summary>UnpublishFirst: nobody finds the memory any more, and whoever was looking has looked.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask Unpublish<THost>(THost host, PciDevice device)
        where THost : struct, IKernelHost<THost>
    {
        await ClearField(host, device);
        await host.Synchronize();
    }

    /// <summary>Ends the actor when a pointer that it follows is NULL or leads to freed memory.</summary>
    internal static ValueTask Live<THost>(THost host, KernelObject? target, string where)
        where THost : struct, IKernelHost<THost> =>
        target is { IsFreed: false } ? default : DieOf(host, target, where);

    private static Errno Validate(PciBar bar, ref ulong sizeBytes, ulong offsetBytes)
    {
        if (!bar.IsMemory || offsetBytes >= bar.LengthBytes)
        {
            return Errno.EINVAL;
        }

        if (sizeBytes == 0)
        {
            sizeBytes = bar.LengthBytes - offsetBytes;
        }

        return unchecked(sizeBytes + offsetBytes) > bar.LengthBytes ? Errno.EINVAL : Errno.OK;
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<Errno> Setup<THost>(THost host, PciDevice device, P2pdmaObjects objects)
        where THost : struct, IKernelHost<THost>
    {
        var error = host.Inject(FailPoint.SetupP2pdmaAlloc, device);
        if (error is not Errno.OK)
        {
            return error;
        }

        var p2pdma = objects.P2pdma();
        var hasSharedRef = !host.Profile.Has(KernelSwitch.RefPerResource);
        DeviceStack.PushMemory(host, device, p2pdma);
        error = host.Inject(FailPoint.SetupPoolCreate, device);
        if (error is not Errno.OK)
        {
            await DeviceStack.FreeMemory(host, device, p2pdma);
            return error;
        }

        var pool = objects.Pool();
        await host.Point(Step.PoolCreate, 0, pool.Mask);
        pool.Create(host.Profile.Has(KernelSwitch.Int32AvailWrap)
            ? GenPoolArithmetic.Int32AvailWrap
            : GenPoolArithmetic.Bits64);
        p2pdma.Pool = pool;
        host.Emit(new KernelEvent(EventKind.PoolCreate, null, pool));
        if (hasSharedRef)
        {
            p2pdma.SharedRef = objects.SharedRef(p2pdma);
            error = await host.RefInit(p2pdma.SharedRef, FailPoint.SetupRefInit);
        }

        if (error is Errno.OK)
        {
            error = host.Inject(FailPoint.SetupDevresNode, device);
            if (error is not Errno.OK)
            {
                // or_reset: the release runs at once, finds the field NULL and returns. The ref's memory leaks.
                host.Emit(new KernelEvent(EventKind.ActionAddFailed, null, p2pdma)
                {
                    Text = "action",
                    Fn = DevresFns.WireName(DevresFn.P2pdmaRelease),
                });
                error = Errno.ENOMEM;
            }
        }

        if (error is not Errno.OK)
        {
            await DestroyPool(host, pool);
            await DeviceStack.FreeMemory(host, device, p2pdma);
            return error;
        }

        DeviceStack.Push(host, device, DevresFn.P2pdmaRelease, p2pdma);
        var publishesLast = host.Profile.Has(KernelSwitch.SetupPublishesLast);
        if (!publishesLast)
        {
            await SetField(host, device, p2pdma);
        }

        error = host.Inject(FailPoint.SetupSysfsGroup, device);
        if (error is not Errno.OK)
        {
            if (!publishesLast)
            {
                await ClearField(host, device);
            }

            await DestroyPool(host, pool);
            await DeviceStack.FreeMemory(host, device, p2pdma);
            return error;
        }

        await host.Point(Step.SysfsCreate, 0, device.Mask);
        device.Sysfs.Exists = true;
        device.Sysfs.AllocateExists = host.Profile.Has(KernelSwitch.SysfsMmap);
        host.Emit(new KernelEvent(EventKind.SysfsGroupAdd));
        if (publishesLast)
        {
            await SetField(host, device, p2pdma);
        }

        return Errno.OK;
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<Errno> Map<THost>(THost host, PciDevice device, P2pPagemap added)
        where THost : struct, IKernelHost<THost>
    {
        var profile = host.Profile;
        var p2pdma = device.Field!;
        var error = host.Inject(FailPoint.AddResourcePgmapAlloc, device);
        if (error is not Errno.OK)
        {
            return error;
        }

        DeviceStack.PushMemory(host, device, added);
        var hasOwnRef = profile.Has(KernelSwitch.RefPerResource);
        var counted = hasOwnRef ? added.OwnRef : p2pdma.SharedRef!;
        var map = added.Map;
        map.Ref = counted;
        map.HasCleanupCallback = profile.Has(KernelSwitch.P2pCleanupCallback);
        if (hasOwnRef)
        {
            error = await host.RefInit(counted, FailPoint.AddResourceRefInit);
            if (error is not Errno.OK)
            {
                await DeviceStack.FreeMemory(host, device, added);
                return error;
            }

            if (profile.Has(KernelSwitch.P2pSeparateCleanupAction))
            {
                error = host.Inject(FailPoint.AddResourceDevresNode, device);
                if (error is not Errno.OK)
                {
                    await host.RefExit(counted);
                    await DeviceStack.FreeMemory(host, device, added);
                    return Errno.ENOMEM;
                }

                DeviceStack.Push(host, device, DevresFn.PercpuCleanup, added);
            }
        }

        error = await MemremapProcedures.Memremap(host, device, map);
        if (error is not Errno.OK)
        {
            // Patch 5 alone exits a ref whose switch may be pending, and leaves its cleanup action behind.
            if (profile.Has(KernelSwitch.P2pSeparateCleanupAction))
            {
                await host.RefExit(counted);
            }

            await DeviceStack.FreeMemory(host, device, added);
            return error;
        }

        var canBeMapped = profile.Has(KernelSwitch.SysfsMmap);
        if (canBeMapped)
        {
            DeviceStack.Push(host, device, DevresFn.UnmapMappings, device);
        }

        error = host.Inject(FailPoint.AddResourcePoolAdd, device);
        if (error is not Errno.OK)
        {
            if (canBeMapped)
            {
                DeviceStack.Take(host, device, DevresFn.UnmapMappings, device, EventKind.DevresRemove);
            }

            if (profile.Has(KernelSwitch.UnmapOnPoolAddError))
            {
                await MemremapProcedures.Memunmap(host, device, map);
                if (profile.Has(KernelSwitch.P2pSeparateCleanupAction))
                {
                    await host.RefExit(counted);
                }
            }

            await DeviceStack.FreeMemory(host, device, added);
            return error;
        }

        var pool = p2pdma.Pool!;
        var owner = hasOwnRef && profile.Has(KernelSwitch.ChunkOwner) ? counted : null;
        await host.Point(Step.ChunkAdd, 0, pool.Mask);
        pool.Pool.AddOwner(
            map.StartAddress, unchecked(map.StartAddress + (ulong)added.Bar.BusOffset), map.SizeBytes, owner);
        device.Resources.Add(added);
        host.Emit(new KernelEvent(EventKind.ChunkAdd, null, owner)
        {
            Node = added.Index,
            Start = map.StartAddress,
            SizeBytes = map.SizeBytes,
        });
        if (profile.Has(KernelSwitch.UnpublishFirst))
        {
            MoveUnpublishToTop(host, device, p2pdma, added);
        }

        return Errno.OK;
    }

    /// <summary>
    /// Keeps the unpublish action the newest node, and hands the owner's memory to the p2pdma object.
    /// </summary>
    private static void MoveUnpublishToTop<THost>(THost host, PciDevice device, PciP2pdma p2pdma, P2pPagemap added)
        where THost : struct, IKernelHost<THost>
    {
        if (p2pdma.Owners.Count > 0)
        {
            DeviceStack.Take(host, device, DevresFn.Unpublish, p2pdma, EventKind.DevresRemove);
        }

        var memory = device.Devres.Kfree(added);
        host.Emit(DeviceStack.Node(EventKind.DevresRemove, memory.Node!));
        p2pdma.Owners.Add(added);
        DeviceStack.Push(host, device, DevresFn.Unpublish, p2pdma);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<P2pAllocResult> AllocUnderRcu<THost>(THost host, PciDevice device, ulong sizeBytes)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.RcuEnter, 0, host.RcuMask);
        host.RcuEnter();
        var result = await AllocInSection(host, device, sizeBytes);
        await host.Point(Step.RcuExit, 0, host.RcuMask);
        host.RcuExit();
        return result;
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<P2pAllocResult> AllocInSection<THost>(THost host, PciDevice device, ulong sizeBytes)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.FieldTest, device.Mask, 0);
        var p2pdma = device.Field;
        TellFieldTest(host, p2pdma);
        if (p2pdma is null)
        {
            return new(default, Errno.ENODEV, null);
        }

        if (!host.Profile.Has(KernelSwitch.SingleFieldRead))
        {
            await host.Point(Step.FieldUse, device.Mask | FieldTargetMask<THost>(device), 0);
            TellRead(host, device, "use");
            p2pdma = device.Field;
        }

        await Live(host, p2pdma, "pci_alloc_p2pmem reads the pool through the p2pdma field");
        var pool = p2pdma!.Pool!;
        var taken = await AllocSteps(host, pool, sizeBytes);
        if (!taken.Succeeded)
        {
            return new(default, Errno.ENOMEM, null);
        }

        var owner = (RefObject)taken.Owner!;
        var allocation = new P2pAllocation(taken.Address, sizeBytes, owner, pool);
        if (await host.RefTryGetLive(owner))
        {
            pool.Live++;
            return new(allocation, Errno.OK, owner);
        }

        if (!host.Profile.Has(KernelSwitch.SingleFieldRead))
        {
            await host.Point(Step.FieldUse, device.Mask | FieldTargetMask<THost>(device), 0);
            TellRead(host, device, "use");
            await Live(host, device.Field, "pci_alloc_p2pmem reads the p2pdma field to give the memory back");
            pool = device.Field!.Pool!;
        }

        await FreeSteps(host, pool, taken.Address, sizeBytes);
        return new(default, Errno.ENODEV, owner);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<P2pAllocResult> AllocBare<THost>(THost host, PciDevice device, ulong sizeBytes)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.FieldTest, device.Mask, 0);
        TellFieldTest(host, device.Field);
        if (device.Field is null)
        {
            return new(default, Errno.ENODEV, null);
        }

        await host.Point(Step.FieldUse, device.Mask | FieldTargetMask<THost>(device), 0);
        TellRead(host, device, "use");
        var p2pdma = device.Field;
        await Live(host, p2pdma, "pci_alloc_p2pmem reads the shared ref through the p2pdma field");
        var shared = p2pdma!.SharedRef!;
        if (!await host.RefTryGetLive(shared))
        {
            return new(default, Errno.ENODEV, null);
        }

        await host.Point(Step.FieldUse, device.Mask | FieldTargetMask<THost>(device), 0);
        TellRead(host, device, "use");
        p2pdma = device.Field;
        await Live(host, p2pdma, "pci_alloc_p2pmem reads the pool through the p2pdma field");
        var pool = p2pdma!.Pool!;
        var taken = await AllocSteps(host, pool, sizeBytes);
        if (!taken.Succeeded)
        {
            await host.RefPut(shared, 1);
            return new(default, Errno.ENOMEM, null);
        }

        pool.Live++;
        return new(new P2pAllocation(taken.Address, sizeBytes, null, pool), Errno.OK, null);
    }

    private static ValueTask<GenPoolAlloc> AllocSteps<THost>(THost host, P2pPool pool, ulong sizeBytes)
        where THost : struct, IKernelHost<THost> =>
        THost.NeverSuspends && !pool.IsFreed
            ? new(pool.Pool.AllocOwner(sizeBytes))
            : AllocStepByStep(host, pool, sizeBytes);

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<GenPoolAlloc> AllocStepByStep<THost>(THost host, P2pPool pool, ulong sizeBytes)
        where THost : struct, IKernelHost<THost>
    {
        var stepper = pool.Pool.BeginAlloc(sizeBytes);
        var isInFlight = false;
        var hasBegun = false;
        while (!stepper.IsDone)
        {
            var step = StepOf(stepper.Upcoming);
            var writes = step is Step.PoolSetWord or Step.PoolRollback or Step.PoolAvailDec ? pool.Mask : 0;
            await host.Point(step, pool.Mask | OwnersMask(pool, step), writes);
            await Live(host, pool, "gen_pool_alloc_owner walks the chunks");
            if (!isInFlight)
            {
                isInFlight = true;
                pool.InFlight++;
                if (!hasBegun)
                {
                    hasBegun = true;
                    host.Emit(new KernelEvent(EventKind.AllocBegin, null, pool) { SizeBytes = sizeBytes });
                }
            }

            if (step is Step.PoolOwner && stepper.Chunk?.Owner is RefObject owner)
            {
                host.Emit(new KernelEvent(EventKind.ChunkTry, null, owner));
            }

            Tell(host, pool, stepper.Next(), stepper.Chunk, stepper.Granule, stepper.GranuleCount,
                stepper.Upcoming is GenPoolStep.RollbackWord or GenPoolStep.Search);
            if (stepper.IsDone || step is Step.PoolOwner)
            {
                pool.InFlight--;
                isInFlight = false;
            }
        }

        var result = stepper.Result;
        if (hasBegun)
        {
            host.Emit(new KernelEvent(EventKind.AllocEnd, null, pool)
            {
                Start = result.Address,
                SizeBytes = sizeBytes,
                Err = result.Succeeded ? Errno.OK : Errno.ENOMEM,
            });
        }

        return result;
    }

    internal static ValueTask<GenPoolFree> FreeSteps<THost>(
        THost host, P2pPool pool, ulong address, ulong sizeBytes)
        where THost : struct, IKernelHost<THost> =>
        THost.NeverSuspends
            ? new(pool.Pool.FreeOwner(address, sizeBytes))
            : FreeStepByStep(host, pool, address, sizeBytes);

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<GenPoolFree> FreeStepByStep<THost>(
        THost host, P2pPool pool, ulong address, ulong sizeBytes)
        where THost : struct, IKernelHost<THost>
    {
        var stepper = pool.Pool.BeginFree(address, sizeBytes);
        var hasBegun = false;
        pool.InFlight++;
        while (!stepper.IsDone)
        {
            var step = StepOf(stepper.Upcoming);
            await host.Point(step, pool.Mask, step is Step.PoolOwner ? 0 : pool.Mask);
            await Live(host, pool, "gen_pool_free_owner clears the bits");
            if (!hasBegun)
            {
                hasBegun = true;
                host.Emit(new KernelEvent(EventKind.FreeBegin, null, pool) { Start = address, SizeBytes = sizeBytes });
            }

            Tell(host, pool, stepper.Next(), stepper.Chunk, stepper.Granule, stepper.GranuleCount,
                stepper.Result.Fault is not GenPoolFault.None);
        }

        pool.InFlight--;
        var result = stepper.Result;
        if (hasBegun)
        {
            host.Emit(new KernelEvent(EventKind.FreeEnd, null, result.Owner as RefObject)
            {
                Start = address,
                SizeBytes = sizeBytes,
                Err = result.Fault is GenPoolFault.None ? Errno.OK : Errno.EINVAL,
            });
        }

        return result;
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask DieOf<THost>(THost host, KernelObject? target, string where)
        where THost : struct, IKernelHost<THost>
    {
        if (target is null)
        {
            await host.Die(OopsKind.NullDereference, null, where);
        }
        else
        {
            await host.Die(OopsKind.UseAfterFree, target, where);
        }
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask ReleaseUnpublished<THost>(THost host, PciDevice device, PciP2pdma registered)
        where THost : struct, IKernelHost<THost>
    {
        // A set-up that failed took the pool and this object with it; its action is without effect.
        if (registered.IsFreed)
        {
            return;
        }

        if (device.Field is not null)
        {
            // No resource was ever added, so no unpublish action stood above.
            await Unpublish(host, device);
        }

        await DestroyPool(host, registered.Pool!);
        await RemoveSysfs(host, device);
        foreach (var owner in registered.Owners)
        {
            await host.Point(Step.FreeObject, 0, owner.Mask);
            DeviceStack.Free(host, owner);
        }

        registered.Owners.Clear();
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask DestroyPool<THost>(THost host, P2pPool pool)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.PoolDestroy, pool.Mask, pool.Mask);
        host.Emit(new KernelEvent(EventKind.PoolDestroy, null, pool) { Count = pool.Live });
        var fault = pool.Pool.Destroy();
        pool.IsFreed = true;
        if (fault is not GenPoolFault.None)
        {
            host.Emit(new KernelEvent(EventKind.Bug, null, pool) { Text = "destroy-in-use", Fn = "gen_pool_destroy" });
            await host.Die(OopsKind.Bug, pool, "gen_pool_destroy meets allocated memory");
        }
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask RemoveSysfs<THost>(THost host, PciDevice device)
        where THost : struct, IKernelHost<THost>
    {
        await host.SysfsRemove(device);
        device.Sysfs.Exists = false;
        host.Emit(new KernelEvent(EventKind.SysfsGroupRemove));
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask SetField<THost>(THost host, PciDevice device, PciP2pdma p2pdma)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.FieldSet, 0, device.Mask);
        device.Field = p2pdma;
        host.Emit(new KernelEvent(EventKind.FieldSet));
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask ClearField<THost>(THost host, PciDevice device)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.FieldClear, 0, device.Mask);
        device.Field = null;
        host.Emit(new KernelEvent(EventKind.FieldClear));
    }

    /// <summary>Only a judge of single steps hears what a client sees of the field.</summary>
    private static void TellFieldTest<THost>(THost host, PciP2pdma? seen)
        where THost : struct, IKernelHost<THost>
    {
        if (!THost.NeverSuspends)
        {
            host.Emit(new KernelEvent(EventKind.FieldRead, null, seen) { Fn = "test" });
        }
    }

    private static Step StepOf(GenPoolStep step) => step switch
    {
        GenPoolStep.AvailTest => Step.PoolAvail,
        GenPoolStep.Search => Step.PoolSearch,
        GenPoolStep.SetWord => Step.PoolSetWord,
        GenPoolStep.RollbackWord => Step.PoolRollback,
        GenPoolStep.DecAvail => Step.PoolAvailDec,
        GenPoolStep.ClearWord => Step.PoolClearWord,
        GenPoolStep.IncAvail => Step.PoolAvailInc,
        _ => Step.PoolOwner,
    };

    /// <summary>
    /// Reading the owner of a chunk is judged by whether its memory lives, so it depends on the freeing of it.
    /// </summary>
    private static ulong OwnersMask(P2pPool pool, Step step)
    {
        if (step is not Step.PoolOwner)
        {
            return 0;
        }

        var mask = 0UL;
        foreach (var chunk in pool.Pool.Chunks)
        {
            mask |= (chunk.Owner as RefObject)?.Container.Mask ?? 0;
        }

        return mask;
    }

    private static void TellRead<THost>(THost host, PciDevice device, string purpose)
        where THost : struct, IKernelHost<THost>
    {
        if (host.HearsSteps)
        {
            host.Emit(new KernelEvent(EventKind.FieldRead, null, device.Field) { Fn = purpose });
        }
    }

    /// <summary>Tells one step of the allocator, of the block that it is about.</summary>
    /// <param name="isRefused">Some bit was not as the step needs it; what a word of the block held stays.</param>
    private static void Tell<THost>(
        THost host, P2pPool pool, GenPoolStep done, GenPoolChunk? chunk, long first, long count, bool isRefused)
        where THost : struct, IKernelHost<THost>
    {
        if (!host.HearsSteps || chunk is null)
        {
            return;
        }

        var kind = done switch
        {
            GenPoolStep.SetWord => EventKind.BitsSet,
            GenPoolStep.RollbackWord => EventKind.BitsRollback,
            GenPoolStep.ClearWord => EventKind.BitsClear,
            GenPoolStep.DecAvail => EventKind.AvailDec,
            GenPoolStep.IncAvail => EventKind.AvailInc,
            _ => EventKind.None,
        };
        if (kind is EventKind.AvailDec or EventKind.AvailInc)
        {
            host.Emit(new KernelEvent(kind, null, pool)
            {
                Node = chunk.Number,
                SizeBytes = unchecked((ulong)pool.Pool.BytesCounted(count)),
                Count = unchecked((long)chunk.AvailBytes),
            });
        }
        else if (kind is not EventKind.None)
        {
            host.Emit(new KernelEvent(kind, null, pool)
            {
                Node = chunk.Number,
                Start = (ulong)first,
                Count = count,
                Text = isRefused && kind is not EventKind.BitsRollback ? "no" : "yes",
            });
        }
    }

    /// <summary>Where points never suspend nobody asks what they touch, and the object is left alone.</summary>
    private static ulong FieldTargetMask<THost>(PciDevice device)
        where THost : struct, IKernelHost<THost> => THost.NeverSuspends ? 0 : device.Field?.Mask ?? 0;

    private static KernelEvent Resource(
        EventKind kind, PciBar bar, ulong sizeBytes, ulong offsetBytes, Errno error, P2pPagemap? added) =>
        new(kind, null, added)
        {
            Node = bar.Bar,
            SizeBytes = sizeBytes,
            Start = offsetBytes,
            Err = error,
            Text = bar.Name,
        };
}
