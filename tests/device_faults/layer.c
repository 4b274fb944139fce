// A Vulkan layer that makes calls fail, or that compiles a kernel wrongly.
//
//   FAULT_CALL    the function, without its vk
//   FAULT_AT      the number of the first call that fails, from 1
//   FAULT_RESULT  what it returns: -4 device lost, -2 out of device memory
//   FAULT_ON      all later calls fail as well
//   FAULT_LOG     a file for the number of calls of each function
//   FAULT_KERNEL  an entry point whose floating-point products become sums, and sums differences
//   FAULT_REFUSED the module of that entry point is refused instead, with FAULT_RESULT
//
// Only functions of a device; vkCreateDevice is one of them.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

// X(name, parameters, arguments)
#define FUNCTIONS(X) \
    X(QueueSubmit, (VkQueue q, uint32_t n, const VkSubmitInfo *s, VkFence f), (q, n, s, f)) \
    X(AllocateMemory, (VkDevice d, const VkMemoryAllocateInfo *i, const VkAllocationCallbacks *a, VkDeviceMemory *o), (d, i, a, o)) \
    X(BindBufferMemory, (VkDevice d, VkBuffer b, VkDeviceMemory m, VkDeviceSize o), (d, b, m, o)) \
    X(MapMemory, (VkDevice d, VkDeviceMemory m, VkDeviceSize o, VkDeviceSize s, VkMemoryMapFlags f, void **p), (d, m, o, s, f, p)) \
    X(CreateBuffer, (VkDevice d, const VkBufferCreateInfo *i, const VkAllocationCallbacks *a, VkBuffer *o), (d, i, a, o)) \
    X(CreateShaderModule, (VkDevice d, const VkShaderModuleCreateInfo *i, const VkAllocationCallbacks *a, VkShaderModule *o), (d, i, a, o)) \
    X(CreateComputePipelines, (VkDevice d, VkPipelineCache c, uint32_t n, const VkComputePipelineCreateInfo *i, const VkAllocationCallbacks *a, VkPipeline *o), (d, c, n, i, a, o)) \
    X(CreatePipelineCache, (VkDevice d, const VkPipelineCacheCreateInfo *i, const VkAllocationCallbacks *a, VkPipelineCache *o), (d, i, a, o)) \
    X(GetPipelineCacheData, (VkDevice d, VkPipelineCache c, size_t *n, void *p), (d, c, n, p)) \
    X(CreatePipelineLayout, (VkDevice d, const VkPipelineLayoutCreateInfo *i, const VkAllocationCallbacks *a, VkPipelineLayout *o), (d, i, a, o)) \
    X(CreateDescriptorSetLayout, (VkDevice d, const VkDescriptorSetLayoutCreateInfo *i, const VkAllocationCallbacks *a, VkDescriptorSetLayout *o), (d, i, a, o)) \
    X(CreateDescriptorPool, (VkDevice d, const VkDescriptorPoolCreateInfo *i, const VkAllocationCallbacks *a, VkDescriptorPool *o), (d, i, a, o)) \
    X(AllocateDescriptorSets, (VkDevice d, const VkDescriptorSetAllocateInfo *i, VkDescriptorSet *o), (d, i, o)) \
    X(CreateCommandPool, (VkDevice d, const VkCommandPoolCreateInfo *i, const VkAllocationCallbacks *a, VkCommandPool *o), (d, i, a, o)) \
    X(ResetCommandPool, (VkDevice d, VkCommandPool p, VkCommandPoolResetFlags f), (d, p, f)) \
    X(AllocateCommandBuffers, (VkDevice d, const VkCommandBufferAllocateInfo *i, VkCommandBuffer *o), (d, i, o)) \
    X(BeginCommandBuffer, (VkCommandBuffer c, const VkCommandBufferBeginInfo *i), (c, i)) \
    X(EndCommandBuffer, (VkCommandBuffer c), (c)) \
    X(CreateFence, (VkDevice d, const VkFenceCreateInfo *i, const VkAllocationCallbacks *a, VkFence *o), (d, i, a, o)) \
    X(GetFenceStatus, (VkDevice d, VkFence f), (d, f)) \
    X(WaitForFences, (VkDevice d, uint32_t n, const VkFence *f, VkBool32 all, uint64_t t), (d, n, f, all, t)) \
    X(CreateSemaphore, (VkDevice d, const VkSemaphoreCreateInfo *i, const VkAllocationCallbacks *a, VkSemaphore *o), (d, i, a, o)) \
    X(WaitSemaphores, (VkDevice d, const VkSemaphoreWaitInfo *i, uint64_t t), (d, i, t)) \
    X(GetSemaphoreCounterValue, (VkDevice d, VkSemaphore s, uint64_t *v), (d, s, v)) \
    X(CreateQueryPool, (VkDevice d, const VkQueryPoolCreateInfo *i, const VkAllocationCallbacks *a, VkQueryPool *o), (d, i, a, o)) \
    X(FlushMappedMemoryRanges, (VkDevice d, uint32_t n, const VkMappedMemoryRange *r), (d, n, r)) \
    X(InvalidateMappedMemoryRanges, (VkDevice d, uint32_t n, const VkMappedMemoryRange *r), (d, n, r)) \
    X(QueueWaitIdle, (VkQueue q), (q)) \
    X(DeviceWaitIdle, (VkDevice d), (d))

#define ID(name, parameters, arguments) name,
enum { FUNCTIONS(ID) CreateDevice, COUNT };

#define NAME(name, parameters, arguments) #name,
static const char *const names[COUNT] = { FUNCTIONS(NAME) "CreateDevice" };

static int calls[COUNT];

// Whether this call of a function fails.
static int fails(int function) {
    int call = __sync_add_and_fetch(&calls[function], 1);
    const char *faulty = getenv("FAULT_CALL");
    if (!faulty || strcmp(faulty, names[function])) return 0;
    int first = atoi(getenv("FAULT_AT"));
    return call == first || (call > first && getenv("FAULT_ON"));
}

static VkResult result(void) { return (VkResult)atoi(getenv("FAULT_RESULT")); }

__attribute__((destructor)) static void write_log(void) {
    const char *path = getenv("FAULT_LOG");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    for (int i = 0; i < COUNT; i++) fprintf(file, "%s %d\n", names[i], calls[i]);
    fclose(file);
}

#define WRAP(name, parameters, arguments) \
    static PFN_vk##name next_##name; \
    static VKAPI_ATTR VkResult VKAPI_CALL my_##name parameters { \
        return fails(name) ? result() : next_##name arguments; \
    }
FUNCTIONS(WRAP)

// The opcodes of SPIR-V that are exchanged. All have the same operands.
enum { ENTRY_POINT = 15, ADD = 129, SUBTRACT = 131, MULTIPLY = 133 };

// Whether a module has the entry point that is to be compiled wrongly.
static int is_broken(const uint32_t *code, size_t words) {
    const char *entry = getenv("FAULT_KERNEL");
    for (size_t i = 5; entry && i < words; i += code[i] >> 16)
        if ((code[i] & 0xffff) == ENTRY_POINT && !strcmp((const char *)(code + i + 3), entry)) return 1;
    return 0;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_shader_module(VkDevice device, const VkShaderModuleCreateInfo *info, const VkAllocationCallbacks *allocator, VkShaderModule *out) {
    size_t words = info->codeSize / 4;
    if (!is_broken(info->pCode, words)) return my_CreateShaderModule(device, info, allocator, out);
    if (getenv("FAULT_REFUSED")) return result();
    uint32_t *code = malloc(info->codeSize);
    memcpy(code, info->pCode, info->codeSize);
    for (size_t i = 5; i < words; i += code[i] >> 16) {
        uint32_t length = code[i] & 0xffff0000, operation = code[i] & 0xffff;
        if (operation == ADD) code[i] = length | SUBTRACT;
        if (operation == MULTIPLY) code[i] = length | ADD;
    }
    VkShaderModuleCreateInfo broken = *info;
    broken.pCode = code;
    VkResult created = my_CreateShaderModule(device, &broken, allocator, out);
    free(code);
    return created;
}

static VkInstance instance;
static PFN_vkGetInstanceProcAddr next_instance_function;
static PFN_vkGetDeviceProcAddr next_device_function;

// The loader's link to the next layer, from the chain of a create info.
#define LINK(type, kind, info, link) \
    type *link = (type *)info->pNext; \
    while (link && !(link->sType == kind && link->function == VK_LAYER_LINK_INFO)) link = (type *)link->pNext;

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *allocator, VkInstance *out) {
    LINK(VkLayerInstanceCreateInfo, VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO, info, link)
    next_instance_function = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)next_instance_function(NULL, "vkCreateInstance");
    VkResult created = create(info, allocator, out);
    if (created == VK_SUCCESS) instance = *out;
    return created;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice adapter, const VkDeviceCreateInfo *info, const VkAllocationCallbacks *allocator, VkDevice *out) {
    if (fails(CreateDevice)) return result();
    LINK(VkLayerDeviceCreateInfo, VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO, info, link)
    PFN_vkGetInstanceProcAddr next = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    next_device_function = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    return ((PFN_vkCreateDevice)next(instance, "vkCreateDevice"))(adapter, info, allocator, out);
}

// Whether `name` is vk`function`, also as the extension that it came from.
static int is(const char *name, const char *function) {
    size_t length = strlen(function);
    if (strncmp(name, "vk", 2) || strncmp(name + 2, function, length)) return 0;
    return !name[2 + length] || !strcmp(name + 2 + length, "KHR");
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_function(VkDevice device, const char *name) {
    if (is(name, "GetDeviceProcAddr")) return (PFN_vkVoidFunction)device_function;
    PFN_vkVoidFunction next = next_device_function ? next_device_function(device, name) : NULL;
#define INTERCEPT(function, parameters, arguments) \
    if (next && is(name, #function)) { \
        next_##function = (PFN_vk##function)next; \
        return (PFN_vkVoidFunction)my_##function; \
    }
    if (next && is(name, "CreateShaderModule")) {
        next_CreateShaderModule = (PFN_vkCreateShaderModule)next;
        return (PFN_vkVoidFunction)create_shader_module;
    }
    FUNCTIONS(INTERCEPT)
    return next;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_function(VkInstance of, const char *name) {
    if (is(name, "GetInstanceProcAddr")) return (PFN_vkVoidFunction)instance_function;
    if (is(name, "GetDeviceProcAddr")) return (PFN_vkVoidFunction)device_function;
    if (is(name, "CreateInstance")) return (PFN_vkVoidFunction)create_instance;
    if (is(name, "CreateDevice")) return (PFN_vkVoidFunction)create_device;
    return next_instance_function ? next_instance_function(of, name) : NULL;
}

VKAPI_ATTR VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *interface) {
    interface->loaderLayerInterfaceVersion = 2;
    interface->pfnGetInstanceProcAddr = instance_function;
    interface->pfnGetDeviceProcAddr = device_function;
    interface->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
