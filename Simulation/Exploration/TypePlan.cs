using System.Collections.Concurrent;
using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Threading.Tasks.Sources;
using Fleet.Kernel;
using Fleet.Kernel.Host;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Exploration;

/// <summary>How objects of one type are folded into a digest, and how their state is put back.</summary>
/// <remarks>Code is made for each type when it is first met, and kept for the life of the process.</remarks>
internal sealed class TypePlan
{
    private const BindingFlags Declared =
        BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    private static readonly ConcurrentDictionary<Type, TypePlan> Plans = [];
    private static readonly object Closure = new();
    private static readonly Func<object, object> Shallow = typeof(object)
        .GetMethod(nameof(MemberwiseClone), BindingFlags.Instance | BindingFlags.NonPublic)!
        .CreateDelegate<Func<object, object>>();
    private static readonly MethodInfo Word = Method(typeof(StateGraph), nameof(StateGraph.Word));
    private static readonly MethodInfo Reference = Method(typeof(StateGraph), nameof(StateGraph.Reference));
    private static readonly MethodInfo Text = Method(typeof(StateGraph), nameof(StateGraph.Text));

    private static readonly MethodInfo See = Method(typeof(StateTrail), nameof(StateTrail.See));

    private readonly Lazy<Action<object, object>?> _putBack;
    private readonly Lazy<FieldInfo[]> _links;
    private readonly Lazy<Func<object, object, bool>?> _differ;
    private readonly Lazy<Action<object, object, StateTrail>?> _update;
    private readonly Lazy<Action<object, StateTrail>> _visit;
    private readonly Lazy<Func<object, object>> _copy;

    private TypePlan(Type type)
    {
        var id = StateHash.Seed;
        foreach (var letter in type.FullName ?? type.Name)
        {
            StateHash.Mix(ref id, (ulong)letter);
        }

        Id = id;
        IsConstant = IsConstantType(type);
        Fold = IsConstant ? static (_, _) => { } : FoldOf(type);
        _putBack = new(() => PutBackOf(type));
        _links = new(() => [.. FieldsOf(type, all: true).Where(field => HoldsReferences(field.FieldType))]);
        _differ = new(() => DifferOf(type));
        _update = new(() => UpdateOf(type));
        _visit = new(() => VisitOf(type));
        _copy = new(() => IsList(type) ? OfMany<Func<object, object>>(type, "CopyOf") : Shallow);
    }

    internal delegate void FoldStruct<T>(ref T value, StateGraph graph);

    internal delegate bool DifferStruct<T>(ref T one, ref T other);

    internal delegate void UpdateStruct<T>(ref T from, ref T to, StateTrail trail);

    internal delegate void VisitStruct<T>(ref T value, StateTrail trail);

    /// <summary>Tells kinds of objects apart.</summary>
    internal ulong Id { get; }

    /// <summary>Never changes while a world lives, or belongs to the machinery around it.</summary>
    internal bool IsConstant { get; }

    internal Action<object, StateGraph> Fold { get; }

    /// <summary>Copies what can change from a copy of an object into it; null where nothing can.</summary>
    internal Action<object, object>? PutBack => _putBack.Value;

    /// <summary>Says whether two objects of the type hold different things; null where nothing can change.</summary>
    internal Func<object, object, bool>? Differ => _differ.Value;

    /// <summary>Copies what differs from the first into the second and tells the trail what that leads to.</summary>
    internal Action<object, object, StateTrail>? Update => _update.Value;

    /// <summary>An object of its own that holds the same.</summary>
    internal Func<object, object> Copy => _copy.Value;

    /// <summary>Tells the trail everything that an object leads to.</summary>
    internal Action<object, StateTrail> Visit => _visit.Value;

    internal static TypePlan Of(Type type) => Plans.GetOrAdd(type, static one => new(one));

    /// <summary>Adds the objects that the fields of <paramref name="one"/> lead to.</summary>
    internal void AddNeighbours(object one, List<object> neighbours)
    {
        if (one is Array many)
        {
            if (HoldsReferences(one.GetType().GetElementType()!))
            {
                foreach (var element in many)
                {
                    Add(element, neighbours);
                }
            }

            return;
        }

        foreach (var field in _links.Value)
        {
            Add(field.GetValue(one), neighbours);
        }
    }

    private static void Add(object? value, List<object> neighbours)
    {
        if (value is ValueType)
        {
            Of(value.GetType()).AddNeighbours(value, neighbours);
        }
        else if (value is not null)
        {
            neighbours.Add(value);
        }
    }

    private static MethodInfo Method(Type type, string name) =>
        type.GetMethod(
            name, BindingFlags.Static | BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)!;

    private static bool IsConstantType(Type type) =>
        type == typeof(World) || type == typeof(Scenario) || type == typeof(KernelProfile)
        || type == typeof(WorldScript)
        || type == typeof(WorldOp) || type == typeof(List<WorldOp>) || type == typeof(WorldOp[])
        || type == typeof(ExploreHost) || type == typeof(ExecutionContext)
        || typeof(Type).IsAssignableFrom(type)
        || typeof(MemberInfo).IsAssignableFrom(type);

    private static bool HoldsReferences(Type type) =>
        !type.IsPrimitive && !type.IsEnum && !type.IsPointer && type != typeof(string)
        && (!type.IsValueType || FieldsOf(type, all: true).Any(field => HoldsReferences(field.FieldType)));

    /// <param name="all">Also what is no state.</param>
    private static IEnumerable<FieldInfo> FieldsOf(Type type, bool all)
    {
        for (var at = type; at is not null && at != typeof(object) && at != typeof(ValueType); at = at.BaseType)
        {
            foreach (var field in at.GetFields(Declared))
            {
                if (all || IsState(field))
                {
                    yield return field;
                }
            }
        }
    }

    private static bool IsState(FieldInfo field)
    {
        var (type, owner) = (field.FieldType, field.DeclaringType!);
        return field.GetCustomAttribute<NotStateAttribute>() is null
            && !IsConstantType(type)

            // What was awaited leads to the frame; how often that frame was used before is no state.
            && (!IsTask(owner) || field.Name == "_obj")

            // A box of the library's builder is a task: only its state machine counts.
            && (!typeof(Task).IsAssignableFrom(owner) || field.Name == "StateMachine")
            && field.Name != "<>t__builder"
            && !(type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ManualResetValueTaskSourceCore<>));
    }

    private static Action<object, StateGraph> FoldOf(Type type)
    {
        if (type == typeof(string))
        {
            return static (one, graph) => graph.Text((string)one);
        }

        if (type == typeof(PercpuRef))
        {
            // A per-CPU counter that was folded keeps its last value, which nobody reads.
            return static (one, graph) => ((PercpuRef)one).HashInto(ref graph.Hash);
        }

        if (type == typeof(RcuDomain))
        {
            // Sections are numbered for ever; whom each grace period waits for is the state.
            return static (one, graph) => ((RcuDomain)one).HashInto(ref graph.Hash);
        }

        if (typeof(IOwnDigest).IsAssignableFrom(type))
        {
            return static (one, graph) => ((IOwnDigest)one).HashInto(ref graph.Hash);
        }

        if (typeof(Delegate).IsAssignableFrom(type))
        {
            return static (one, graph) =>
            {
                graph.Word((ulong)((Delegate)one).Method.MetadataToken);
                graph.Reference(((Delegate)one).Target);
            };
        }

        if (type == typeof(Dictionary<long, int>))
        {
            return static (one, graph) =>
            {
                var sum = 0UL;
                foreach (var (key, value) in (Dictionary<long, int>)one)
                {
                    var pair = StateHash.Seed;
                    StateHash.Mix(ref pair, key);
                    StateHash.Mix(ref pair, value);
                    sum = unchecked(sum + pair);
                }

                graph.Word(sum);
            };
        }

        if (type.IsArray || (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(List<>)))
        {
            var element = type.IsArray ? type.GetElementType()! : type.GetGenericArguments()[0];
            var name = IsPlain(element) ? nameof(FoldPlain)
                : element.IsValueType ? nameof(FoldStructs) : nameof(FoldReferences);
            var fold = Method(typeof(TypePlan), name + (type.IsArray ? "OfArray" : "OfList"));
            return fold.MakeGenericMethod(element).CreateDelegate<Action<object, StateGraph>>();
        }

        var code = new DynamicMethod(
            "Fold", typeof(void), [typeof(object), typeof(StateGraph)], typeof(TypePlan).Module, skipVisibility: true);
        var il = code.GetILGenerator();
        il.DeclareLocal(type);
        il.Emit(OpCodes.Ldarg_0);
        il.Emit(OpCodes.Castclass, type);
        il.Emit(OpCodes.Stloc_0);
        EmitFields(il, type, [], () => il.Emit(OpCodes.Ldloc_0));
        il.Emit(OpCodes.Ret);
        return code.CreateDelegate<Action<object, StateGraph>>();
    }

    private static bool IsPlain(Type type) => type.IsPrimitive || type.IsEnum;

    private static void EmitFields(ILGenerator il, Type type, List<FieldInfo> path, Action load)
    {
        foreach (var field in FieldsOf(type, all: false))
        {
            if (field.FieldType is { IsValueType: true } inner && !IsPlain(inner))
            {
                EmitFields(il, inner, [.. path, field], load);
                continue;
            }

            if (field.FieldType.IsPointer)
            {
                throw new ExplorationException($"{field.DeclaringType} has a pointer, which is no state of a world.");
            }

            il.Emit(OpCodes.Ldarg_1);
            load();
            foreach (var outer in path)
            {
                il.Emit(OpCodes.Ldflda, outer);
            }

            il.Emit(OpCodes.Ldfld, field);
            if (field.FieldType.IsValueType)
            {
                il.Emit(field.FieldType == typeof(double) || field.FieldType == typeof(float)
                    ? OpCodes.Conv_R8 : OpCodes.Conv_U8);
                if (field.FieldType == typeof(double) || field.FieldType == typeof(float))
                {
                    il.Emit(OpCodes.Call, Method(typeof(BitConverter), nameof(BitConverter.DoubleToUInt64Bits)));
                }

                il.Emit(OpCodes.Call, Word);
            }
            else
            {
                il.Emit(OpCodes.Call, field.FieldType == typeof(string) ? Text : Reference);
            }
        }
    }

    private static Action<object, object>? PutBackOf(Type type)
    {
        if (type.IsArray || IsList(type))
        {
            return OfMany<Action<object, object>>(type, "PutBack");
        }

        var fields = ChangingOf(type).ToList();
        if (fields.Count == 0)
        {
            return null;
        }

        var (code, il) = Begin("PutBack", typeof(void), typeof(object), typeof(object));
        foreach (var field in fields)
        {
            il.Emit(OpCodes.Ldarg_2);
            il.Emit(OpCodes.Ldarg_1);
            il.Emit(OpCodes.Ldfld, field);
            il.Emit(OpCodes.Stfld, field);
        }

        il.Emit(OpCodes.Ret);
        return code.CreateDelegate<Action<object, object>>(Closure);
    }

    /// <summary>
    /// A method whose delegate is closed over an object, which is called without moving its arguments. The types of
    /// its objects are not checked: a plan is only used with objects of its type.
    /// </summary>
    private static (DynamicMethod Code, ILGenerator Il) Begin(string name, Type result, params Type[] arguments)
    {
        var code = new DynamicMethod(
            name, result, [typeof(object), .. arguments], typeof(TypePlan).Module, skipVisibility: true);
        return (code, code.GetILGenerator());
    }

    /// <summary>Fields that can change while an object lives.</summary>
    private static IEnumerable<FieldInfo> ChangingOf(Type type) =>
        FieldsOf(type, all: true).Where(field => !field.IsInitOnly && !IsCore(field.FieldType));

    /// <summary>A frame of a scheduled world does not use its core.</summary>
    private static bool IsCore(Type type) =>
        type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ManualResetValueTaskSourceCore<>);

    /// <summary>Every plain or reference field, through the structs that hold it.</summary>
    private static IEnumerable<FieldInfo[]> LeavesOf(IEnumerable<FieldInfo> fields)
    {
        foreach (var field in fields)
        {
            if (field.FieldType.IsPointer || field.FieldType.IsByRefLike)
            {
                throw new ExplorationException($"{field.DeclaringType} has a pointer, which is no state of a world.");
            }

            if (field.FieldType is { IsValueType: true } inner && !IsPlain(inner))
            {
                foreach (var leaf in LeavesOf(FieldsOf(inner, all: true)))
                {
                    yield return [field, .. leaf];
                }
            }
            else
            {
                yield return [field];
            }
        }
    }

    private static void EmitLoad(ILGenerator il, OpCode holder, FieldInfo[] leaf)
    {
        il.Emit(holder);
        foreach (var outer in leaf[..^1])
        {
            il.Emit(OpCodes.Ldflda, outer);
        }

        il.Emit(OpCodes.Ldfld, leaf[^1]);
    }

    private static void EmitDiffer(ILGenerator il, IEnumerable<FieldInfo[]> leaves)
    {
        var differs = il.DefineLabel();
        foreach (var leaf in leaves)
        {
            EmitLoad(il, OpCodes.Ldarg_1, leaf);
            EmitLoad(il, OpCodes.Ldarg_2, leaf);
            il.Emit(OpCodes.Bne_Un, differs);
        }

        il.Emit(OpCodes.Ldc_I4_0);
        il.Emit(OpCodes.Ret);
        il.MarkLabel(differs);
        il.Emit(OpCodes.Ldc_I4_1);
        il.Emit(OpCodes.Ret);
    }

    private static void EmitUpdate(ILGenerator il, IEnumerable<FieldInfo[]> leaves)
    {
        foreach (var leaf in leaves)
        {
            var same = il.DefineLabel();
            EmitLoad(il, OpCodes.Ldarg_1, leaf);
            EmitLoad(il, OpCodes.Ldarg_2, leaf);
            il.Emit(OpCodes.Beq, same);
            il.Emit(OpCodes.Ldarg_2);
            foreach (var outer in leaf[..^1])
            {
                il.Emit(OpCodes.Ldflda, outer);
            }

            EmitLoad(il, OpCodes.Ldarg_1, leaf);
            il.Emit(OpCodes.Stfld, leaf[^1]);
            if (LeadsOn(leaf[^1]))
            {
                il.Emit(OpCodes.Ldarg_3);
                EmitLoad(il, OpCodes.Ldarg_1, leaf);
                il.Emit(OpCodes.Call, See);
            }

            il.MarkLabel(same);
        }

        il.Emit(OpCodes.Ret);
    }

    private static void EmitVisit(ILGenerator il, IEnumerable<FieldInfo[]> leaves, Func<FieldInfo, bool> leadsOn)
    {
        foreach (var leaf in leaves.Where(leaf => leadsOn(leaf[^1])))
        {
            il.Emit(OpCodes.Ldarg_2);
            EmitLoad(il, OpCodes.Ldarg_1, leaf);
            il.Emit(OpCodes.Call, See);
        }

        il.Emit(OpCodes.Ret);
    }

    private static bool LeadsOn(FieldInfo field) =>
        field.FieldType is { IsValueType: false } type && type != typeof(string) && !IsConstantType(type)
        && !FrameStore.FrameType.IsAssignableFrom(type) && !IsTask(field.DeclaringType!);

    /// <summary>What a procedure knows and its world may not; kernel objects are made with their world.</summary>
    private static bool LeadsOnFromFrame(FieldInfo field) =>
        LeadsOn(field) && !typeof(KernelObject).IsAssignableFrom(field.FieldType);

    private static bool IsTask(Type type) =>
        type == typeof(ValueTask)
        || (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ValueTask<>));

    private static Func<object, object, bool>? DifferOf(Type type)
    {
        if (type.IsArray || IsList(type))
        {
            return OfMany<Func<object, object, bool>>(type, "Differ");
        }

        var leaves = LeavesOf(ChangingOf(type)).ToList();
        if (leaves.Count == 0)
        {
            return null;
        }

        var (code, il) = Begin("Differ", typeof(bool), typeof(object), typeof(object));
        EmitDiffer(il, leaves);
        return code.CreateDelegate<Func<object, object, bool>>(Closure);
    }

    private static Action<object, object, StateTrail>? UpdateOf(Type type)
    {
        if (type.IsArray || IsList(type))
        {
            return OfMany<Action<object, object, StateTrail>>(type, "Update");
        }

        var (code, il) = Begin("Update", typeof(void), typeof(object), typeof(object), typeof(StateTrail));
        EmitUpdate(il, LeavesOf(ChangingOf(type)));
        return code.CreateDelegate<Action<object, object, StateTrail>>(Closure);
    }

    private static Action<object, StateTrail> VisitOf(Type type)
    {
        if (type.IsArray || IsList(type))
        {
            return OfMany<Action<object, StateTrail>>(type, "Visit");
        }

        var (code, il) = Begin("Visit", typeof(void), typeof(object), typeof(StateTrail));
        var isFrame = FrameStore.FrameType.IsAssignableFrom(type);
        var fields = FieldsOf(type, all: true).Where(field => !isFrame || field.Name == "_stateMachine");
        EmitVisit(il, LeavesOf(fields), isFrame ? LeadsOnFromFrame : LeadsOn);
        return code.CreateDelegate<Action<object, StateTrail>>(Closure);
    }

    private static TDelegate OfMany<TDelegate>(Type type, string what)
        where TDelegate : Delegate
    {
        var element = type.IsArray ? type.GetElementType()! : type.GetGenericArguments()[0];
        var kind = !type.IsArray ? "List" : IsPlain(element) ? "Plain"
            : element.IsValueType ? "Structs" : "References";
        return Method(typeof(TypePlan), what + kind).MakeGenericMethod(element).CreateDelegate<TDelegate>();
    }

    private static bool IsList(Type type) =>
        type.IsGenericType && type.GetGenericTypeDefinition() == typeof(List<>);

    /// <summary>Whatever changes a list changes its version.</summary>
    private static bool DifferList<T>(object one, object other) =>
        ListAccess<T>.Version(Unsafe.As<List<T>>(one)) != ListAccess<T>.Version(Unsafe.As<List<T>>(other));

    private static void PutBackList<T>(object from, object to)
    {
        var (left, right) = (Unsafe.As<List<T>>(from), Unsafe.As<List<T>>(to));
        CollectionsMarshal.SetCount(right, left.Count);
        CollectionsMarshal.AsSpan(left).CopyTo(CollectionsMarshal.AsSpan(right));
        ListAccess<T>.Version(right) = ListAccess<T>.Version(left);
    }

    private static void UpdateList<T>(object from, object to, StateTrail trail)
    {
        PutBackList<T>(from, to);
        VisitList<T>(from, trail);
    }

    private static void VisitList<T>(object one, StateTrail trail)
    {
        if (typeof(T).IsPrimitive)
        {
            return;
        }

        foreach (ref var element in CollectionsMarshal.AsSpan(Unsafe.As<List<T>>(one)))
        {
            if (typeof(T).IsValueType)
            {
                StructPlan<T>.Visit(ref element, trail);
            }
            else
            {
                trail.See(element);
            }
        }
    }

    private static object CopyOfList<T>(object one)
    {
        var copy = new List<T>();
        PutBackList<T>(one, copy);
        return copy;
    }

    private static bool DifferPlain<T>(object one, object other)
        where T : unmanaged => !Bytes<T>(one).SequenceEqual(Bytes<T>(other));

    private static Span<byte> Bytes<T>(object many)
        where T : unmanaged => MemoryMarshal.AsBytes(Unsafe.As<T[]>(many).AsSpan());

    private static void UpdatePlain<T>(object from, object to, StateTrail trail)
        where T : unmanaged => Bytes<T>(from).CopyTo(Bytes<T>(to));

    private static void VisitPlain<T>(object one, StateTrail trail)
        where T : unmanaged
    {
    }

    private static bool DifferReferences<T>(object one, object other)
        where T : class
    {
        var (left, right) = (Unsafe.As<T?[]>(one), Unsafe.As<T?[]>(other));
        for (var i = 0; i < left.Length; i++)
        {
            if (!ReferenceEquals(left[i], right[i]))
            {
                return true;
            }
        }

        return false;
    }

    private static void UpdateReferences<T>(object from, object to, StateTrail trail)
        where T : class
    {
        var (left, right) = (Unsafe.As<T?[]>(from), Unsafe.As<T?[]>(to));
        for (var i = 0; i < left.Length; i++)
        {
            if (!ReferenceEquals(left[i], right[i]))
            {
                right[i] = left[i];
                trail.See(left[i]);
            }
        }
    }

    private static void VisitReferences<T>(object one, StateTrail trail)
        where T : class
    {
        foreach (var element in Unsafe.As<T?[]>(one))
        {
            trail.See(element);
        }
    }

    private static bool DifferStructs<T>(object one, object other)
    {
        var (left, right) = (Unsafe.As<T[]>(one), Unsafe.As<T[]>(other));
        for (var i = 0; i < left.Length; i++)
        {
            if (StructPlan<T>.Differ(ref left[i], ref right[i]))
            {
                return true;
            }
        }

        return false;
    }

    private static void UpdateStructs<T>(object from, object to, StateTrail trail)
    {
        var (left, right) = (Unsafe.As<T[]>(from), Unsafe.As<T[]>(to));
        for (var i = 0; i < left.Length; i++)
        {
            StructPlan<T>.Update(ref left[i], ref right[i], trail);
        }
    }

    private static void VisitStructs<T>(object one, StateTrail trail)
    {
        foreach (ref var element in Unsafe.As<T[]>(one).AsSpan())
        {
            StructPlan<T>.Visit(ref element, trail);
        }
    }

    private static void PutBackPlain<T>(object from, object to)
        where T : unmanaged => Bytes<T>(from).CopyTo(Bytes<T>(to));

    private static void PutBackStructs<T>(object from, object to) =>
        Unsafe.As<T[]>(from).AsSpan().CopyTo(Unsafe.As<T[]>(to));

    /// <summary>Few elements differ: telling the collector of each of those costs less than of all.</summary>
    private static void PutBackReferences<T>(object from, object to)
        where T : class
    {
        var (left, right) = (Unsafe.As<T?[]>(from), Unsafe.As<T?[]>(to));
        for (var i = 0; i < left.Length; i++)
        {
            if (!ReferenceEquals(left[i], right[i]))
            {
                right[i] = left[i];
            }
        }
    }

    private static void FoldPlainOfArray<T>(object one, StateGraph graph)
        where T : unmanaged => FoldPlain<T>((T[])one, graph);

    private static void FoldPlainOfList<T>(object one, StateGraph graph)
        where T : unmanaged => FoldPlain<T>(CollectionsMarshal.AsSpan((List<T>)one), graph);

    private static void FoldPlain<T>(ReadOnlySpan<T> many, StateGraph graph)
        where T : unmanaged
    {
        graph.Word((ulong)many.Length);
        var bytes = MemoryMarshal.AsBytes(many);
        foreach (var word in MemoryMarshal.Cast<byte, ulong>(bytes))
        {
            graph.Word(word);
        }

        foreach (var rest in bytes[(bytes.Length & ~7)..])
        {
            graph.Word(rest);
        }
    }

    private static void FoldReferencesOfArray<T>(object one, StateGraph graph)
        where T : class => FoldReferences<T>((T?[])one, graph);

    private static void FoldReferencesOfList<T>(object one, StateGraph graph)
        where T : class => FoldReferences<T>(CollectionsMarshal.AsSpan((List<T?>)one), graph);

    private static void FoldReferences<T>(ReadOnlySpan<T?> many, StateGraph graph)
        where T : class
    {
        graph.Word((ulong)many.Length);
        foreach (var one in many)
        {
            graph.Reference(one);
        }
    }

    private static void FoldStructsOfArray<T>(object one, StateGraph graph) => FoldStructs<T>((T[])one, graph);

    private static void FoldStructsOfList<T>(object one, StateGraph graph) =>
        FoldStructs(CollectionsMarshal.AsSpan((List<T>)one), graph);

    private static void FoldStructs<T>(Span<T> many, StateGraph graph)
    {
        graph.Word((ulong)many.Length);
        foreach (ref var one in many)
        {
            StructPlan<T>.Fold(ref one, graph);
        }
    }

    private static class ListAccess<T>
    {
        [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_version")]
        internal static extern ref int Version(List<T> list);
    }

    private static class StructPlan<T>
    {
        internal static readonly FoldStruct<T> Fold = Make();
        internal static readonly DifferStruct<T> Differ = MakeDiffer();
        internal static readonly UpdateStruct<T> Update = MakeUpdate();
        internal static readonly VisitStruct<T> Visit = MakeVisit();

        private static FoldStruct<T> Make()
        {
            var code = new DynamicMethod(
                "FoldStruct", typeof(void), [typeof(T).MakeByRefType(), typeof(StateGraph)], typeof(TypePlan).Module,
                skipVisibility: true);
            var il = code.GetILGenerator();
            EmitFields(il, typeof(T), [], () => il.Emit(OpCodes.Ldarg_0));
            il.Emit(OpCodes.Ret);
            return code.CreateDelegate<FoldStruct<T>>();
        }

        private static DifferStruct<T> MakeDiffer()
        {
            var (code, il) = TypePlan.Begin(
                "DifferStruct", typeof(bool), typeof(T).MakeByRefType(), typeof(T).MakeByRefType());
            EmitDiffer(il, LeavesOf(FieldsOf(typeof(T), all: true)));
            return code.CreateDelegate<DifferStruct<T>>(Closure);
        }

        private static UpdateStruct<T> MakeUpdate()
        {
            var (code, il) = TypePlan.Begin(
                "UpdateStruct", typeof(void), typeof(T).MakeByRefType(), typeof(T).MakeByRefType(),
                typeof(StateTrail));
            EmitUpdate(il, LeavesOf(FieldsOf(typeof(T), all: true)));
            return code.CreateDelegate<UpdateStruct<T>>(Closure);
        }

        private static VisitStruct<T> MakeVisit()
        {
            var (code, il) = TypePlan.Begin(
                "VisitStruct", typeof(void), typeof(T).MakeByRefType(), typeof(StateTrail));
            EmitVisit(il, LeavesOf(FieldsOf(typeof(T), all: true)), LeadsOn);
            return code.CreateDelegate<VisitStruct<T>>(Closure);
        }
    }
}

/// <summary>An object whose fields say more than its state.</summary>
internal interface IOwnDigest
{
    void HashInto(ref ulong hash);
}
